/** What a page is asked for, kept in its address: so it can be handed on, is a bookmark, and is there again on the way back. */
import { useSearchParams } from "react-router";

export interface Parameters {
  parameters: URLSearchParams;
  /** None or an empty text takes it out. */
  set: (name: string, value: string | null) => void;
  clear: () => void;
}

/** Return the parameters of the address, and how they are set; what is set is no step of the way back. */
export function useParameters(): Parameters {
  const [parameters, setParameters] = useSearchParams();
  return {
    parameters,
    set: (name, value) => setParameters((before) => withParameter(before, name, value), { replace: true }),
    clear: () => setParameters({}, { replace: true }),
  };
}

/** Return the same parameters, and one of them anew. */
export function withParameter(before: URLSearchParams, name: string, value: string | null): URLSearchParams {
  const next = new URLSearchParams(before);
  if (value) next.set(name, value);
  else next.delete(name);
  return next;
}
