// The bundle that vite wrote must hold our component and React's renderer.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";

const js = readdirSync("dist/assets").filter((f) => f.endsWith(".js"));
assert.equal(js.length, 1);
const text = readFileSync(`dist/assets/${js[0]}`, "utf8");
assert.ok(text.includes("carts") && text.length > 100000);
console.log(`vite built ${js[0]}: ${text.length} bytes`);
