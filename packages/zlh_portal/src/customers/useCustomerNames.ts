/** Names of the customers that somebody may know, by their ids: their own, and for operators those of others as well. */
import { useMe, useWhyNot } from "../session/session";
import { useCustomers } from "./queries";

export function useCustomerNames(): ReadonlyMap<string, string> {
  const { data: me } = useMe();
  const seesAll = useWhyNot("platform:view") === null;
  const { data } = useCustomers("", seesAll);
  const others = data?.pages.flatMap(({ items }) => items) ?? [];
  return new Map([...others, ...(me?.customers ?? [])].map(({ id, name }) => [id, name]));
}
