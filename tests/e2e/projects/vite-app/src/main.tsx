import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

function Counter({ start }: { start: number }) {
  const [n, setN] = useState(start);
  return <button onClick={() => setN(n + 1)}>loaded {n} carts</button>;
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Counter start={1} />
  </StrictMode>,
);
