import { byQuay } from "./carts";

test("carts are grouped by their quay", () => {
  const carts = [{ quay: "a", load: 1 }, { quay: "b", load: 2 }, { quay: "a", load: 3 }];
  expect(byQuay(carts)).toEqual({ a: [carts[0], carts[2]], b: [carts[1]] });
});

test("no carts, no quays", () => {
  expect(byQuay([])).toEqual({});
});
