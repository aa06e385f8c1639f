/** Customers and their people for tests. */
import type { QuotaUse } from "../api/types";

export function sampleUse(more: Partial<QuotaUse> = {}): QuotaUse {
  return { name: "containers", used: 3, quota: 10, isOwn: false, ...more };
}
