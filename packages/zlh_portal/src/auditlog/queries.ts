/** Who did what, page by page, the newest first. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { client, take } from "../api/client";
import type { AuditEntry, Page } from "../api/types";

const LOG = ["audit-log"] as const;
const LIMIT = 50;
const POLL_MS = 15_000;
// Whoever has loaded more reads what is old, and all pages would be asked for again.
const POLLED_PAGES = 2;

export interface Filters {
  act: string | null;
  user: string | null;
  subject: string | null;
}

function queryOf({ act, user, subject }: Filters) {
  return { limit: LIMIT, ...(act ? { act } : {}), ...(user ? { user } : {}), ...(subject ? { subject } : {}) };
}

const pages = {
  initialPageParam: undefined as string | undefined,
  getNextPageParam: ({ next }: Page<AuditEntry>) => next,
  refetchInterval: ({ state }: { state: { data: { pages: unknown[] } | undefined } }) => ((state.data?.pages.length ?? 0) > POLLED_PAGES ? false : POLL_MS) as number | false,
};

/** What was done for one customer. */
export function useCustomerLog(customer: string, filters: Filters) {
  return useInfiniteQuery({
    ...pages,
    queryKey: [...LOG, customer, filters],
    queryFn: ({ pageParam, signal }): Promise<Page<AuditEntry>> => {
      const query = { ...queryOf(filters), ...(pageParam === undefined ? {} : { before: Number(pageParam) }) };
      return take(client.GET("/api/customers/{customer}/audit-log", { params: { path: { customer }, query }, signal }));
    },
  });
}

/** What was done by anybody; `customer` narrows it to one, or to what concerns none with the word "platform". */
export function useWholeLog(customer: string | null, filters: Filters) {
  return useInfiniteQuery({
    ...pages,
    queryKey: [...LOG, "all", customer, filters],
    queryFn: ({ pageParam, signal }): Promise<Page<AuditEntry>> => {
      const query = { ...queryOf(filters), ...(customer ? { customer } : {}), ...(pageParam === undefined ? {} : { before: pageParam }) };
      return take(client.GET("/api/audit-log", { params: { query }, signal }));
    },
  });
}

export type LogQuery = ReturnType<typeof useWholeLog>;
