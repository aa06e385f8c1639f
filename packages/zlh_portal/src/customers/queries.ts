/** Customers, who belongs to them, and how much they have. */
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { client, take } from "../api/client";
import { asApiError } from "../api/problem";
import { ME } from "../api/query";
import type { Customer, Invite, Member, Page, Quota, QuotaUse, Role } from "../api/types";

/** Everything of customers: the list, each of them, and what belongs to it. */
export const CUSTOMER = ["customer"] as const;
const LIST = [...CUSTOMER, "list"] as const;
const keyOf = (customer: string) => [...CUSTOMER, "one", customer] as const;
const membersOf = (customer: string) => [...keyOf(customer), "members"] as const;
const invitationsOf = (customer: string) => [...keyOf(customer), "invitations"] as const;
const usageOf = (customer: string) => [...keyOf(customer), "usage"] as const;

const PAGE = 50;
const LARGE_PAGE = 200;
const POLL_MS = 20_000;
const ALL_FRESH_MS = 60_000;

const at = (customer: string) => ({ params: { path: { customer } } });

/** Customers whose name holds `q`, page by page. */
export function useCustomers(q: string, enabled = true) {
  return useInfiniteQuery({
    // Apart from that of all: what is looked for may be called "all".
    queryKey: [...LIST, "search", q],
    enabled,
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next }: Page<Customer>) => next,
    queryFn: ({ pageParam, signal }) =>
      take(client.GET("/api/customers", { params: { query: { limit: PAGE, ...(q ? { q } : {}), ...(pageParam ? { after: pageParam } : {}) } }, signal })),
  });
}

/** All customers, however many pages they fill: those of whom only the name is shown. */
export function useAllCustomers(enabled: boolean) {
  return useQuery({
    queryKey: [...LIST, "all"],
    enabled,
    staleTime: ALL_FRESH_MS,
    queryFn: async ({ signal }) => {
      const all: Customer[] = [];
      for (let after: string | undefined; ; ) {
        const page: Page<Customer> = await take(client.GET("/api/customers", { params: { query: { limit: LARGE_PAGE, ...(after ? { after } : {}) } }, signal }));
        all.push(...page.items);
        if (page.next === undefined) return all;
        after = page.next;
      }
    },
  });
}

export function useCustomer(customer: string, enabled = true) {
  return useQuery<Customer>({
    queryKey: keyOf(customer),
    enabled,
    refetchInterval: ({ state }) => (state.error && asApiError(state.error).status === 404 ? false : POLL_MS),
    queryFn: ({ signal }) => take(client.GET("/api/customers/{customer}", { ...at(customer), signal })),
  });
}

/** Who belongs to a customer, page by page. */
export function useMembers(customer: string) {
  return useInfiniteQuery({
    queryKey: membersOf(customer),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ next }: Page<Member>) => next,
    refetchInterval: POLL_MS,
    queryFn: ({ pageParam, signal }) =>
      take(client.GET("/api/customers/{customer}/members", { params: { path: { customer }, query: { limit: PAGE, ...(pageParam ? { after: pageParam } : {}) } }, signal })),
  });
}

export function useInvitations(customer: string) {
  return useQuery({
    queryKey: invitationsOf(customer),
    refetchInterval: POLL_MS,
    queryFn: async ({ signal }) => (await take(client.GET("/api/customers/{customer}/invitations", { ...at(customer), signal }))).items,
  });
}

export function useUsage(customer: string, enabled = true) {
  return useQuery({
    enabled,
    queryKey: usageOf(customer),
    refetchInterval: POLL_MS,
    queryFn: async ({ signal }) => (await take(client.GET("/api/customers/{customer}/usage", { ...at(customer), signal }))).items,
  });
}

/** Return what has everything of a customer asked for anew, and with it what the person may do for it. */
function useRefresh() {
  const queries = useQueryClient();
  return async () => {
    await Promise.all([queries.invalidateQueries({ queryKey: CUSTOMER }), queries.invalidateQueries({ queryKey: ME })]);
  };
}

export function useChangeRole(customer: string) {
  const onSettled = useRefresh();
  return useMutation({
    onSettled,
    mutationFn: ({ user, role }: { user: string; role: Role }) =>
      take(client.PATCH("/api/customers/{customer}/members/{user}", { params: { path: { customer, user } }, body: { role } })),
  });
}

export function useRemoveMember(customer: string) {
  const onSettled = useRefresh();
  return useMutation({
    onSettled,
    mutationFn: (user: string) => take(client.DELETE("/api/customers/{customer}/members/{user}", { params: { path: { customer, user } } })),
  });
}

export function useLeave(customer: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => take(client.POST("/api/customers/{customer}/leave", at(customer))),
    // Whoever has left may ask for nothing of it any more, so nothing of it is asked for again.
    onSuccess: () => queries.invalidateQueries({ queryKey: ME }),
  });
}

export function useInvite(customer: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: Invite) => take(client.POST("/api/customers/{customer}/invitations", { ...at(customer), body })),
    onSettled: () => queries.invalidateQueries({ queryKey: invitationsOf(customer) }),
  });
}

export function useWithdraw(customer: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (invitation: string) =>
      take(client.DELETE("/api/customers/{customer}/invitations/{invitation}", { params: { path: { customer, invitation } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: invitationsOf(customer) }),
  });
}

export function useSetQuota(customer: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: Quota) => take(client.PUT("/api/customers/{customer}/quota", { ...at(customer), body })),
    onSuccess: ({ items }) => queries.setQueryData<QuotaUse[]>(usageOf(customer), items),
  });
}

export function useCreateCustomer() {
  const onSettled = useRefresh();
  return useMutation({ onSettled, mutationFn: (name: string) => take(client.POST("/api/customers", { body: { name } })) });
}

/** Change one customer; the answer is how it is now. */
function useAct<T>(customer: string, act: (value: T) => Promise<Customer>) {
  const queries = useQueryClient();
  const onSettled = useRefresh();
  return useMutation({ mutationFn: act, onSuccess: (now) => queries.setQueryData(keyOf(customer), now), onSettled });
}

export function useRenameCustomer(customer: string) {
  return useAct(customer, (name: string) => take(client.PATCH("/api/customers/{customer}", { ...at(customer), body: { name } })));
}

export function useSuspendCustomer(customer: string) {
  return useAct(customer, (reason: string) => take(client.POST("/api/customers/{customer}/suspend", { ...at(customer), body: { reason } })));
}

export function useResumeCustomer(customer: string) {
  return useAct<undefined>(customer, () => take(client.POST("/api/customers/{customer}/resume", at(customer))));
}

export function useDeleteCustomer(customer: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => take(client.DELETE("/api/customers/{customer}", at(customer))),
    onSuccess: async () => {
      queries.removeQueries({ queryKey: keyOf(customer) });
      await Promise.all([queries.invalidateQueries({ queryKey: LIST }), queries.invalidateQueries({ queryKey: ME })]);
    },
  });
}
