/** What operators do for a user: a link for a new password, the right to operate, suspension. */
import { Button, Group, Menu, Stack, Text } from "@mantine/core";
import { useState } from "react";
import type { PasswordResetMade, UserReport } from "../api/types";
import { SuspendModal } from "../customers/SuspendModal";
import { ConfirmModal } from "../layout/ConfirmModal";
import { Secret } from "../layout/Secret";
import { TimeUntil } from "../layout/TimeUntil";
import { tellDone, tellProblem } from "../layout/tell";
import { isolate } from "../layout/words";
import { useMakeReset, useResumeUser, useSetOperator, useSuspendUser } from "./userQueries";
import { Modal } from "../layout/Modal";

type Asking = "reset" | "operator" | "suspend" | null;

export function UserActions({ user, isMe }: { user: UserReport; isMe: boolean }) {
  const [asking, setAsking] = useState<Asking>(null);
  const resume = useResumeUser(user.id);
  const close = () => setAsking(null);
  const name = isolate(user.email);
  return (
    <>
      <Menu position="bottom-end" width={240}>
        <Menu.Target><Button size="xs" variant="default" loading={resume.isPending} aria-label={`Actions on ${user.email}`}>Actions</Button></Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={() => setAsking("reset")}>Make a link for a new password</Menu.Item>
          <Menu.Item onClick={() => setAsking("operator")}>{user.isOperator ? "Take the operator's right" : "Make an operator"}</Menu.Item>
          <Menu.Divider />
          {user.suspended ? (
            <Menu.Item onClick={() => resume.mutate(undefined, { onSuccess: () => tellDone(`${name} is resumed.`), onError: tellProblem(`${name} is still suspended`) })}>Resume</Menu.Item>
          ) : (
            <Menu.Item color="orange" onClick={() => setAsking("suspend")}>Suspend…</Menu.Item>
          )}
        </Menu.Dropdown>
      </Menu>
      {asking === "reset" && <ResetModal user={user} onClose={close} />}
      {asking === "operator" && <OperatorModal user={user} isMe={isMe} onClose={close} />}
      {asking === "suspend" && <SuspendUser user={user} isMe={isMe} onClose={close} />}
    </>
  );
}

function OperatorModal({ user, isMe, onClose }: { user: UserReport; isMe: boolean; onClose: () => void }) {
  const set = useSetOperator(user.id);
  const name = isolate(user.email);
  const act = () =>
    // Whoever takes it from themselves has no such page any more before all of the change has settled, and callbacks would go with it.
    set
      .mutateAsync(!user.isOperator)
      .then(() => tellDone(user.isOperator ? `${name} is no operator any more.` : `${name} is an operator now.`), tellProblem("The right stays as it is"))
      .finally(onClose);
  return user.isOperator ? (
    <ConfirmModal
      title={`Take the operator's right from ${isMe ? "yourself" : name}?`} action="Take it" isPending={set.isPending} onConfirm={() => void act()} onClose={onClose}
      meaning={`${isMe ? "You see" : "They see"} only what ${isMe ? "your" : "their"} own customers have from then on. Only another operator can give it back.`}
    />
  ) : (
    <ConfirmModal title={`Make ${name} an operator?`} action="Make an operator" isPending={set.isPending} onConfirm={() => void act()} onClose={onClose} meaning="An operator sees and does everything, for all customers, terminals included." />
  );
}

function SuspendUser({ user, isMe, onClose }: { user: UserReport; isMe: boolean; onClose: () => void }) {
  const suspend = useSuspendUser(user.id);
  const name = isolate(user.email);
  return (
    <SuspendModal
      title={`Suspend ${isMe ? "yourself" : name}?`} meaning="Sign-in, sessions and tokens open nothing from then on, and what is open is closed at once. Customers and containers stay as they are." to="them" error={suspend.error} isPending={suspend.isPending}
      onConfirm={(reason) => suspend.mutate(reason, { onSuccess: () => { tellDone(`${name} is suspended.`); onClose(); } })} onClose={onClose}
    />
  );
}

function ResetModal({ user, onClose }: { user: UserReport; onClose: () => void }) {
  const make = useMakeReset(user.id);
  const [made, setMade] = useState<PasswordResetMade | null>(null);
  const name = isolate(user.email);
  if (made) {
    return (
      <Modal opened onClose={onClose} title={`A new password for ${name}`} centered size="lg" closeOnClickOutside={false} styles={{ title: { overflowWrap: "anywhere" } }}>
        <Stack data-testid="reset-made">
          <Text size="sm">ZLH sends no mail: hand this link to them yourself. It is shown this once, works once, and is over <TimeUntil time={made.expiresAt} ended="now" />. Whoever has it can take the account.</Text>
          <Secret label="Link for a new password" text={made.url} testId="reset-url" />
          <Group justify="flex-end"><Button onClick={onClose}>Done</Button></Group>
        </Stack>
      </Modal>
    );
  }
  return (
    <ConfirmModal
      title={`Make a link for a new password of ${name}?`} action="Make the link" isPending={make.isPending} onClose={onClose}
      onConfirm={() => make.mutate(undefined, { onSuccess: setMade, onError: (error) => { tellProblem("No link was made")(error); onClose(); } })}
      meaning="Be sure that it is them who ask. The present password works until the new one is set; a link that was made before leads nowhere any more."
    />
  );
}
