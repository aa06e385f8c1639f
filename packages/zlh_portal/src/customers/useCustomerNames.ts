/** Names of the customers that somebody may know, by their ids: their own, and for operators those of all others as well. */
import { useMemo } from "react";
import { useMe, useWhyNot } from "../session/session";
import { useAllCustomers } from "./queries";

/** Of thousands so many are offered at a time; whoever wants another types its name. */
export const OFFERED = 50;

export function useCustomerNames(): ReadonlyMap<string, string> {
  const { data: me } = useMe();
  const seesAll = useWhyNot("platform:view") === null;
  const { data: others } = useAllCustomers(seesAll);
  return useMemo(() => new Map([...(others ?? []), ...(me?.customers ?? [])].map(({ id, name }) => [id, name])), [others, me]);
}
