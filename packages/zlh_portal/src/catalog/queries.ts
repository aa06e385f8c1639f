/** What can be installed. The live stream tells when the catalog has changed; without it, it is asked for now and then. */
import { useQuery } from "@tanstack/react-query";
import { client, take } from "../api/client";
import type { RuntimeOffer, TemplateOffer } from "../api/types";
import { useIsLive } from "../live/liveness";

export const CATALOG = ["catalog"] as const;
const FRESH_MS = 60_000;
const POLL_MS = 15_000;

function useCatalog<T, S = T>(part: string, queryFn: (signal: AbortSignal) => Promise<T>, select?: (data: T) => S) {
  const isLive = useIsLive();
  return useQuery({
    queryKey: [...CATALOG, part],
    staleTime: FRESH_MS,
    refetchInterval: isLive ? FRESH_MS : POLL_MS,
    queryFn: ({ signal }) => queryFn(signal),
    ...(select ? { select } : {}),
  });
}

const fetchRuntimes = (signal: AbortSignal) => take(client.GET("/api/catalog/runtimes", { signal }));
const fetchAddons = async (signal: AbortSignal): Promise<RuntimeOffer[]> => (await take(client.GET("/api/catalog/addons", { signal }))).items;
const fetchTemplates = async (signal: AbortSignal): Promise<TemplateOffer[]> => (await take(client.GET("/api/catalog/templates", { signal }))).items;
const fetchSummary = (signal: AbortSignal) => take(client.GET("/api/catalog", { signal }));
const namesOf = (offers: readonly { name: string }[]): string[] => offers.map(({ name }) => name);
const runtimesOf = ({ runtimes }: { runtimes: RuntimeOffer[] }): RuntimeOffer[] => runtimes;

/** Which catalog is in use; operators are told what is wrong with it. */
export const useCatalogSummary = () => useCatalog("summary", fetchSummary);
export const useRuntimeCatalog = () => useCatalog("runtimes", fetchRuntimes);
export const useAddonCatalog = () => useCatalog("addons", fetchAddons);
export const useTemplateCatalog = () => useCatalog("templates", fetchTemplates);
export const useRuntimeOffers = () => useCatalog("runtimes", fetchRuntimes, runtimesOf);
export const useAddonOffers = () => useCatalog("addons", fetchAddons, namesOf);

/** Ask ahead of the button whether a choice can be installed, and why not. */
export function useValidation(runtime: string | null, version: string | null) {
  return useQuery({
    queryKey: [...CATALOG, "validate", runtime, version],
    enabled: runtime !== null && version !== null,
    staleTime: FRESH_MS,
    queryFn: ({ signal }) =>
      take(client.POST("/api/catalog/validate", { body: { runtime: runtime ?? "", version, platform: null }, signal })),
  });
}
