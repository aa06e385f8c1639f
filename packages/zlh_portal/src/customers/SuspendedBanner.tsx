/** Says that a customer is suspended and why, on its own pages and on those of its containers. */
import { Alert, Text } from "@mantine/core";
import { Name } from "../layout/Name";
import { useMe } from "../session/session";
import { useCustomer } from "./queries";
import { Said } from "../layout/Said";

interface Props {
  customerId: string;
  /** Where the page knows by itself that its subject is held back. */
  isSuspended?: boolean;
}

export function SuspendedBanner({ customerId, isSuspended = false }: Props) {
  const { data: me } = useMe();
  const isToldSo = isSuspended || (me?.customers.some(({ id, suspended }) => id === customerId && suspended) ?? false);
  const { data: customer } = useCustomer(customerId, isToldSo);
  if (!isToldSo || customer?.suspended === false) return null;
  return (
    <Alert color="orange" role="status" data-testid="suspended" title={customer ? <><Name text={customer.name} /> is suspended</> : "This customer is suspended"}>
      {customer?.suspendedReason && <Text size="sm" style={{ overflowWrap: "anywhere", whiteSpace: "pre-line" }} data-testid="suspended-reason"><Said text={customer.suspendedReason} /></Text>}
      <Text size="sm" mt={4}>Its containers are off, and their files are kept. Nothing can be changed or opened until the platform's operator resumes it.</Text>
    </Alert>
  );
}
