/** The two axes of a container as badges. */
import type { ContainerStatus } from "../api/types";
import { ToneBadge } from "../layout/ToneBadge";
import { describeConnection, describeLifecycle } from "./states";

export function StateBadge({ status }: { status: ContainerStatus }) {
  return <ToneBadge words={describeLifecycle(status)} testId="state" />;
}

export function ConnectionBadge({ status }: { status: ContainerStatus }) {
  return <ToneBadge words={describeConnection(status)} testId="connection" />;
}
