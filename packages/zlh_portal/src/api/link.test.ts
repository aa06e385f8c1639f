import { expect, it } from "vitest";
import { safeHttpUrl } from "./link";

it.each(["http://dev-1.localhost:8080/", "https://a.example/x?y"])("takes %s", (text) => {
  expect(safeHttpUrl(text)?.href).toBe(text);
});

it.each([null, "", "javascript:alert(1)", "data:text/html,x", "/relative", "not a url"])("refuses %s", (text) => {
  expect(safeHttpUrl(text)).toBeNull();
});
