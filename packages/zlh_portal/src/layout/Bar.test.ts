import { MantineProvider } from "@mantine/core";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { expect, it } from "vitest";
import { Bar } from "./Bar";

const show = (percent: number | null) => renderToString(createElement(MantineProvider, null, createElement(Bar, { percent, label: "Copying", size: "sm" })));

it("says how far it is", () => expect(show(40)).toMatch(/role="progressbar"[^>]*aria-valuenow="40"/));
it("has a name and no value where nobody knows", () => {
  expect(show(null)).toMatch(/aria-label="Copying" role="progressbar"|role="progressbar" aria-label="Copying"/);
  expect(show(null)).not.toContain("aria-value");
});
