/** Takes the code out of the address bar the moment that it is read: it is kept in this page alone, and in no history. */
import { useEffect, useState } from "react";
import { parseCode } from "./code";

export function useCode(): string | null {
  const [code, setCode] = useState(() => parseCode(window.location.hash));
  useEffect(() => {
    const take = () => {
      const found = parseCode(window.location.hash);
      if (found !== null) setCode(found);
      if (window.location.hash !== "") window.history.replaceState(window.history.state, "", window.location.pathname);
    };
    take();
    // Another link of the kind, opened in the same tab, loads no page.
    window.addEventListener("hashchange", take);
    return () => window.removeEventListener("hashchange", take);
  }, []);
  return code;
}
