import groupBy from "lodash/groupBy";

export const byQuay = (carts) => groupBy(carts, (c) => c.quay);
