/** What can be installed. */
import { useQuery } from "@tanstack/react-query";
import { client, take } from "../api/client";

const FRESH_MS = 60_000;

export function useRuntimeOffers() {
  return useQuery({
    queryKey: ["catalog", "runtimes"],
    staleTime: FRESH_MS,
    queryFn: async ({ signal }) => (await take(client.GET("/api/catalog/runtimes", { signal }))).runtimes,
  });
}

export function useAddonOffers() {
  return useQuery({
    queryKey: ["catalog", "addons"],
    staleTime: FRESH_MS,
    queryFn: async ({ signal }) => (await take(client.GET("/api/catalog/addons", { signal }))).items.map((offer) => offer.name),
  });
}

export function useTemplateOffers() {
  return useQuery({
    queryKey: ["catalog", "templates"],
    staleTime: FRESH_MS,
    queryFn: async ({ signal }) => (await take(client.GET("/api/catalog/templates", { signal }))).items.map((offer) => offer.name),
  });
}

/** Ask ahead of the button whether a choice can be installed, and why not. */
export function useValidation(runtime: string | null, version: string | null) {
  return useQuery({
    queryKey: ["catalog", "validate", runtime, version],
    enabled: runtime !== null && version !== null,
    staleTime: FRESH_MS,
    queryFn: ({ signal }) =>
      take(client.POST("/api/catalog/validate", { body: { runtime: runtime ?? "", version, platform: null }, signal })),
  });
}
