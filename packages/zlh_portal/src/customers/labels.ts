/** What customers are called where one of them is chosen; pure. */
import { isolateOdd } from "../layout/words";

interface Named {
  id: string;
  name: string;
}

/** Return a choice for each customer. Anybody may call theirs as another is called: those of one name show whose address is whose. */
export function labelCustomers(customers: readonly Named[]): { value: string; label: string }[] {
  const names = customers.map(({ name }) => name);
  return customers.map(({ id, name }) => {
    const isTwice = names.indexOf(name) !== names.lastIndexOf(name);
    return { value: id, label: isTwice ? `${isolateOdd(name)} (${id.slice(0, 8)})` : isolateOdd(name) };
  });
}
