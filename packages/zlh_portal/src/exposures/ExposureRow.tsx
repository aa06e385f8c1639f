/** One published port; taking it back asks once more, since somebody may be using the address. */
import { Badge, Button, Group, Text, Tooltip } from "@mantine/core";
import { useRef, useState } from "react";
import { asApiError } from "../api/problem";
import type { Exposure } from "../api/types";
import { AddressLink } from "../layout/AddressLink";
import { TimeUntil } from "../layout/TimeUntil";
import { useMe } from "../session/session";
import { describeViewers } from "./access";
import classes from "./exposures.module.css";
import { useUnpublish } from "./queries";
import { tellProblem } from "../layout/tell";

interface Props {
  vmid: number;
  exposure: Exposure;
  mayChange: boolean;
  onChange: () => void;
  onRemoved: () => void;
}

export function ExposureRow({ vmid, exposure, mayChange, onChange, onRemoved }: Props) {
  const { data: me } = useMe();
  const unpublish = useUnpublish(vmid);
  const [isAsking, setAsking] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const keep = () => {
    setAsking(false);
    button.current?.focus();
  };
  const tell = tellProblem(`Port ${exposure.port} is still published`);
  const act = () =>
    unpublish.mutate(exposure.id, {
      onSuccess: onRemoved,
      // What somebody else has taken back is as gone.
      onError: (error) => (asApiError(error).status === 404 ? onRemoved() : tell(error)),
      onSettled: () => setAsking(false),
    });
  return (
    <li className={classes["row"]} data-testid={`exposure-${exposure.port}`}>
      <Text fw={600} className="numbers">{exposure.port}</Text>
      <div className={classes["address"]}><AddressLink address={exposure.url} /></div>
      <Group gap="xs">
        <Tooltip label="Who may open it."><Badge variant="light" color={exposure.visibility === "public" ? "orange" : "gray"} tabIndex={0}>{describeViewers(exposure, me)}</Badge></Tooltip>
        {exposure.addon && (
          <Tooltip label="It is published for as long as the container has the addon; remove that under Addons to take it back."><Badge variant="light" color="violet" tabIndex={0}>{exposure.addon}</Badge></Tooltip>
        )}
        {exposure.kind === "https" && <Badge variant="light" color="gray">HTTPS</Badge>}
        {exposure.expiresAt && <Text size="sm" c="dimmed">ends <TimeUntil time={exposure.expiresAt} ended="now" /></Text>}
        {exposure.default && (
          <Tooltip label="It also answers at the container's own address: that of an addon, else the oldest published port."><Badge variant="light" tabIndex={0}>Main</Badge></Tooltip>
        )}
      </Group>
      {mayChange && !exposure.addon && (
        <Group gap={6} className={classes["acts"] ?? ""}>
          {!isAsking && <Button size="compact-sm" variant="subtle" aria-label={`Change port ${exposure.port}`} onClick={onChange}>Change</Button>}
          {isAsking && <Button size="compact-sm" variant="default" onClick={keep}>Keep</Button>}
          <Button
            ref={button} size="compact-sm" variant={isAsking ? "filled" : "subtle"} color="red" {...(isAsking ? {} : { c: "red" })} loading={unpublish.isPending}
            aria-label={isAsking ? `Really remove port ${exposure.port}` : `Remove port ${exposure.port}`} onClick={isAsking ? act : () => setAsking(true)}
          >
            {isAsking ? "Really remove" : "Remove"}
          </Button>
        </Group>
      )}
    </li>
  );
}
