/** Tokens for tests. */
import type { ApiToken } from "../api/types";

export function sampleToken(more: Partial<ApiToken> = {}): ApiToken {
  return {
    id: "t1", name: "deploy", hint: "x9Qa", scopes: ["containers:view"], customerId: null, createdAt: "2026-01-01T00:00:00Z", expiresAt: "2026-04-01T00:00:00Z", lastUsedAt: null,
    ...more,
  };
}
