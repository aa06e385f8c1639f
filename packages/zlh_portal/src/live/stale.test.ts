import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { expect, it, vi } from "vitest";
import { useAddons } from "../addons/queries";
import { useCatalogSummary } from "../catalog/queries";
import { sampleStatus } from "../containers/sample";
import { useGame } from "../games/queries";
import { usePublished } from "../platform/queries";
import { useRuntimes } from "../runtimes/queries";
import { OF_ALL, OF_CATALOG } from "./stale";

// Nothing is asked for here; the client looks up where the page came from all the same.
vi.hoisted(() => vi.stubGlobal("window", { location: { origin: "http://here.example" } }));

it.each([["has changed", OF_CATALOG], ["may have changed unheard", OF_ALL]])("asks anew for all that shows versions once the catalog %s", (_, keys) => {
  const queries = new QueryClient();
  const Showing = () => {
    useCatalogSummary();
    useRuntimes(sampleStatus());
    useAddons(sampleStatus());
    useGame(sampleStatus({ kind: "game" }));
    usePublished();
    return null;
  };
  renderToString(createElement(QueryClientProvider, { client: queries }, createElement(Showing)));
  keys.forEach((queryKey) => void queries.invalidateQueries({ queryKey }));
  const all = queries.getQueryCache().getAll();
  expect(all).toHaveLength(5);
  expect(all.filter(({ state }) => !state.isInvalidated).map(({ queryKey }) => queryKey)).toEqual([]);
});
