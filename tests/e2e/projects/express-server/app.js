import compression from "compression";
import express from "express";
import morgan from "morgan";
import { z } from "zod";

const query = z.object({ name: z.string().min(1) });

export const app = express();
app.use(morgan("tiny", { stream: { write: () => {} } }));
app.use(compression());
app.get("/hello", (req, res) => {
  const q = query.safeParse(req.query);
  if (!q.success) return res.status(400).json({ error: "name is missing" });
  res.json({ hello: q.data.name });
});
