/** What is known of the files of a container, in the cache. */
import { keepPreviousData, useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import * as calls from "./calls";
import type { Place } from "./calls";
import type { FileOperation, Folder } from "../api/types";
import { FILES, folderKey, operationsKey, rootsKey, uploadsKey } from "./keys";
import { type Order, tellsNew } from "./rows";

const PAGE = 500;
const POLL_MS = 15_000;
const POLL_MOVING_MS = 700;

export function useRoots(vmid: number, isEnabled: boolean) {
  return useQuery({ queryKey: rootsKey(vmid), enabled: isEnabled, refetchInterval: 60_000, queryFn: ({ signal }) => calls.fetchRoots(vmid, signal) });
}

export interface FolderView {
  order: Order;
  hidden: boolean;
}

/** A folder, page by page. What others change in it shows with the next look. */
export function useFolder(place: Place, path: string, { order, hidden }: FolderView) {
  const sort = order.by === "rights" ? "name" : order.by;
  const descending = order.by === "rights" ? false : order.descending;
  return useInfiniteQuery({
    queryKey: [...folderKey(place.vmid, place.root, path), sort, descending, hidden],
    initialPageParam: undefined as string | undefined,
    // An agent that has told nothing new, and says that there is more, would be asked without end.
    getNextPageParam: ({ next }: Folder, pages) => (tellsNew(pages) ? next : undefined),
    refetchOnWindowFocus: true,
    // Pages of a long folder are many looks; a short one is looked at now and then.
    refetchInterval: ({ state }) => (state.data && state.data.pages.length > 1 ? false : POLL_MS),
    queryFn: ({ pageParam, signal }) => calls.fetchFolder(place, { path, after: pageParam, limit: PAGE, sort, descending, hidden }, signal),
    placeholderData: (before, query) => (query && query.queryKey[4] === path && query.queryKey[3] === place.root ? keepPreviousData(before) : undefined),
  });
}

export function useOperations(vmid: number) {
  return useQuery({
    queryKey: operationsKey(vmid),
    queryFn: ({ signal }) => calls.fetchOperations(vmid, signal),
    refetchInterval: ({ state }) => (state.data?.some((operation) => operation.state === "running") ? POLL_MOVING_MS : POLL_MS),
  });
}

/** One operation until it has ended; null asks for none. */
export function useOperation(vmid: number, id: string | null) {
  return useQuery({
    queryKey: [...operationsKey(vmid), id], enabled: id !== null,
    queryFn: ({ signal }) => calls.fetchOperation(vmid, id ?? "", signal),
    refetchInterval: ({ state }) => (state.data && state.data.state !== "running" ? false : POLL_MOVING_MS),
  });
}

export function useUnfinishedUploads(vmid: number) {
  return useQuery({ queryKey: uploadsKey(vmid), queryFn: ({ signal }) => calls.fetchUploads(vmid, signal), refetchInterval: 60_000 });
}

/** Return what has everything that shows files of a container looked at anew. */
export function useRefreshFiles(vmid: number): () => void {
  const queries = useQueryClient();
  return () => void queries.invalidateQueries({ queryKey: [FILES, vmid] });
}

/** Return what has all but the list of work looked at anew: that has told of the end of some, and would be asked again at once. */
export function useRefreshAfterWork(vmid: number): () => void {
  const queries = useQueryClient();
  const work = operationsKey(vmid)[2];
  return () => void queries.invalidateQueries({ queryKey: [FILES, vmid], predicate: ({ queryKey }) => queryKey[2] !== work });
}

/** A change of files, after which all that shows them is looked at anew, however it went. */
export function useChange<Wish, Result>(vmid: number, change: (wish: Wish) => Promise<Result>) {
  const refresh = useRefreshFiles(vmid);
  return useMutation({ mutationFn: change, onSettled: refresh });
}

export function isRunning({ state }: Pick<FileOperation, "state">): boolean {
  return state === "running";
}
