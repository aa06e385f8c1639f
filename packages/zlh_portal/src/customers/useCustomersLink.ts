/** Where the main navigation leads for customers. */
import { useMe } from "../session/session";

/** Who has one customer is led to its page, and not to a list of one. */
export function useCustomersLink(): { to: string; label: string } {
  const { data: me } = useMe();
  const [only, ...others] = me?.customers ?? [];
  return only && others.length === 0 ? { to: `/customers/${only.id}`, label: "Customer" } : { to: "/customers", label: "Customers" };
}
