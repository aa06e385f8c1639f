/** What of a log is shown, kept in the address so that it can be handed on. */
import { useSearchParams } from "react-router";
import type { Filters } from "./queries";

export type Filter = keyof Filters | "outcome" | "customer";

export interface FilterState {
  asked: Filters;
  outcome: string | null;
  customer: string | null;
  isAny: boolean;
  set: (filter: Filter, value: string | null) => void;
  clear: () => void;
}

export function useFilters(): FilterState {
  const [parameters, setParameters] = useSearchParams();
  const read = (name: Filter) => parameters.get(name) || null;
  const asked = { act: read("act"), user: read("user"), subject: read("subject") };
  const outcome = read("outcome");
  const customer = read("customer");
  return {
    asked,
    outcome,
    customer,
    isAny: parameters.size > 0,
    set: (filter, value) =>
      setParameters(
        (before) => {
          const next = new URLSearchParams(before);
          if (value) next.set(filter, value);
          else next.delete(filter);
          return next;
        },
        { replace: true },
      ),
    clear: () => setParameters({}, { replace: true }),
  };
}
