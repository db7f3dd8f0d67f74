// Starts the server on a free port, asks it twice, and exits with 0 only if both answers are right.
import assert from "node:assert/strict";
import { app } from "./app.js";

const server = app.listen(0, "127.0.0.1", async () => {
  const base = `http://127.0.0.1:${server.address().port}/hello`;
  const good = await fetch(`${base}?name=dray`);
  assert.equal(good.status, 200);
  assert.deepEqual(await good.json(), { hello: "dray" });
  assert.equal((await fetch(base)).status, 400);
  server.close();
  console.log("express answered: hello dray");
});
