import { describe, expect, it } from "vitest";
import { sampleCustomer, sampleMe, VIEWER } from "../session/sample";
import { nameBrowser } from "./browser";
import { complainAboutPassword } from "./password";
import { sampleToken } from "./sample";
import { choiceOf, mayGive, nameScope, offerScopes, renderCurl, scopesOf, summarizeScopes } from "./scopes";
import { describeExpiry } from "./tokens";

describe("nameBrowser", () => {
  it.each([
    ["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"],
    ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0", "Edge on Windows"],
    ["Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15", "Safari on macOS"],
    ["Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36", "Chrome on Android"],
    ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36", "Chrome on Linux"],
    ["curl/8.5.0", "curl"], [null, "Unknown browser"], ["", "Unknown browser"], ["<b>me</b>", "<b>me</b>"],
  ])("%s", (userAgent, name) => expect(nameBrowser(userAgent)).toBe(name));
  it("cuts what is long, and no character in two", () => expect(nameBrowser("🦊".repeat(100))).toBe(`${"🦊".repeat(60)}…`));
});

describe("complainAboutPassword", () => {
  it.each(["correct horse", "x".repeat(1024), "🦊".repeat(12)])("takes %j", (password) => expect(complainAboutPassword(password)).toBeNull());
  it.each([["", "Choose"], ["short", "at least 12 characters; this has 5"], ["🦊".repeat(11), "this has 11"], ["x".repeat(1025), "at most 1024"]])("refuses %j", (password, words) =>
    expect(complainAboutPassword(password)).toContain(words));
});

describe("scopes", () => {
  it("knows a usual choice again, in whatever order", () => {
    expect(choiceOf(["containers:change", "containers:view", "containers:power"])).toBe("deploy");
    expect(choiceOf(null)).toBe("everything");
    expect(choiceOf(["containers:view"])).toBe("custom");
    expect(choiceOf([])).toBe("custom");
  });
  it.each(["read-only", "deploy", "everything"] as const)("gives back %s", (choice) => expect(choiceOf(scopesOf(choice))).toBe(choice));
  it("names what is chosen", () => {
    expect(summarizeScopes(null)).toBe("Everything");
    expect(summarizeScopes(["consoles:use"])).toBe("Containers: use consoles and terminals");
    expect(summarizeScopes(["consoles:use", "customer:view"])).toBe("Containers: use consoles and terminals and 1 more");
    expect(summarizeScopes([])).toBe("Nothing");
  });
  it("keeps the name of one that only a newer API knows", () => expect(nameScope("moon:land" as "containers:view")).toBe("moon:land"));
  it("offers the platform to operators alone", () => {
    expect(offerScopes(false).some(({ scopes }) => scopes.some(({ permission }) => permission.startsWith("platform:")))).toBe(false);
    expect(offerScopes(true).flatMap(({ scopes }) => scopes)).toHaveLength(12);
  });
  it("hands on what one may do for a customer that the token reaches", () => {
    const me = sampleMe({ customers: [sampleCustomer(), sampleCustomer({ id: "c2", role: "viewer", permissions: VIEWER })] });
    expect(mayGive(me, "containers:change", null)).toBe(true);
    expect(mayGive(me, "containers:change", "c2")).toBe(false);
    expect(mayGive(me, "account:manage", "c2")).toBe(true);
    expect(mayGive(me, "audit-log:view", null)).toBe(false);
  });
  it("never reads a shell into a read-only token", () => expect(scopesOf("read-only")?.every((entry) => entry.endsWith(":view"))).toBe(true));
});

describe("renderCurl", () => {
  it("tries what the token may, with the secret in no argument", () => {
    const [command, header, end] = renderCurl("http://portal.localhost:8080", "zlh_secret", ["containers:view"]).split("\n");
    expect(command).toBe("curl -sS -H @- http://portal.localhost:8080/api/containers <<'EOF'");
    expect([header, end]).toEqual(["Authorization: Bearer zlh_secret", "EOF"]);
  });
  it("asks who one is where it may see no container", () => expect(renderCurl("http://h", "s", ["customer:view"])).toContain("http://h/api/me"));
});

describe("describeExpiry", () => {
  const at = (day: number) => Date.parse("2026-01-01T00:00:00Z") + day * 86_400_000;
  it.each([[0, "Valid"], [84, "Expires soon"], [90, "Expired"], [400, "Expired"]])("on day %d it is %s", (day, label) => expect(describeExpiry(sampleToken(), at(day)).label).toBe(label));
  it("says so where there is no end", () => expect(describeExpiry(sampleToken({ expiresAt: null }), at(0)).label).toBe("Does not expire"));
});
