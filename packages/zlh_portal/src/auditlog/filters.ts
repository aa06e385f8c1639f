/** What of a log is shown, kept in the address so that it can be handed on. */
import { useParameters } from "../layout/address";
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
  const { parameters, set, clear } = useParameters();
  const read = (name: Filter) => parameters.get(name) || null;
  const asked = { act: read("act"), user: read("user"), subject: read("subject") };
  const outcome = read("outcome");
  const customer = read("customer");
  return {
    asked,
    outcome,
    customer,
    isAny: parameters.size > 0,
    set,
    clear,
  };
}
