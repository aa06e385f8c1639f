import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { expect, it, vi } from "vitest";
import { useAllCustomers, useCustomers } from "./queries";

// Nothing is asked for here; the client looks up where the page came from all the same.
vi.hoisted(() => vi.stubGlobal("window", { location: { origin: "http://here.example" } }));

it("keeps all customers apart from those that are found by any words", () => {
  const queries = new QueryClient();
  const Asking = () => {
    useAllCustomers(true);
    useCustomers("all");
    return null;
  };
  renderToString(createElement(QueryClientProvider, { client: queries }, createElement(Asking)));
  expect(queries.getQueryCache().getAll()).toHaveLength(2);
});
