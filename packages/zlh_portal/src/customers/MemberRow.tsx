/** One member: their role, and the way out. */
import { Badge, Button, Group, Select, Text } from "@mantine/core";
import { useState } from "react";
import { useNavigate } from "react-router";
import type { Customer, Member, Role } from "../api/types";
import { ConfirmModal } from "../layout/ConfirmModal";
import { Name } from "../layout/Name";
import rows from "../layout/rows.module.css";
import { TimeAgo } from "../layout/TimeAgo";
import { tellDone, tellProblem } from "../layout/tell";
import { isolate } from "../layout/words";
import { useMe } from "../session/session";
import { useChangeRole, useLeave, useRemoveMember } from "./queries";
import { isLess, ROLE_WORDS, ROLES } from "./roles";

interface Props {
  customer: Customer;
  member: Member;
  mayManage: boolean;
}

export function MemberRow({ customer, member, mayManage }: Props) {
  const { data: me } = useMe();
  const isMe = me?.user.id === member.userId;
  return (
    <li className={rows["row"]} data-testid="member">
      <div className={rows["grow"]}>
        <Group gap={6}>
          <Text size="sm" fw={600}><Name text={member.email} /></Text>
          {isMe && <Badge variant="light">You</Badge>}
          {member.suspended && <Badge color="orange" variant="light">Suspended</Badge>}
        </Group>
        <Text size="xs" c="dimmed" component="div">{ROLE_WORDS[member.role].meaning} · since <TimeAgo time={member.since} /></Text>
      </div>
      <Group gap="xs">
        {mayManage ? <RoleSelect customer={customer} member={member} isMe={isMe} /> : <Badge variant="light" color="gray">{ROLE_WORDS[member.role].label}</Badge>}
        {isMe ? <Leave customer={customer} /> : mayManage && <Remove customer={customer} member={member} />}
      </Group>
    </li>
  );
}

function RoleSelect({ customer, member, isMe }: { customer: Customer; member: Member; isMe: boolean }) {
  const change = useChangeRole(customer.id);
  const [asked, setAsked] = useState<Role | null>(null);
  const name = isolate(member.email);
  const act = (role: Role) =>
    // Whoever takes it from themselves has no choice here any more before all of the change has settled, and callbacks would go with it.
    change
      .mutateAsync({ user: member.userId, role })
      .then(() => tellDone(`${name} is ${ROLE_WORDS[role].label.toLowerCase()} now.`), tellProblem(`The role of ${name} stays as it is`))
      .finally(() => setAsked(null));
  const choose = (role: Role) => {
    if (role === member.role) return;
    // What one takes from oneself, one cannot give back.
    if (isMe && isLess(role, member.role)) setAsked(role);
    else void act(role);
  };
  return (
    <>
      <Select
        size="xs" w={112} allowDeselect={false} aria-label={`Role of ${member.email}`} disabled={change.isPending} comboboxProps={{ width: 300, position: "bottom-end" }}
        data={ROLES.map((role) => ({ value: role, label: ROLE_WORDS[role].label }))} value={change.isPending ? change.variables.role : member.role} onChange={(value) => value && choose(value)}
        renderOption={({ option }) => <div><Text size="sm" fw={600}>{option.label}</Text><Text size="xs" c="dimmed">{ROLE_WORDS[option.value].meaning}</Text></div>}
      />
      {asked && (
        <ConfirmModal
          title="Take rights from yourself?" action={`Become ${ROLE_WORDS[asked].label.toLowerCase()}`} isPending={change.isPending} onConfirm={() => void act(asked)} onClose={() => setAsked(null)}
          meaning="You can no longer manage this customer then, so only another owner can make you one again. What is open in other windows with that right is closed at once."
        />
      )}
    </>
  );
}

function Remove({ customer, member }: { customer: Customer; member: Member }) {
  const remove = useRemoveMember(customer.id);
  const [isAsking, setAsking] = useState(false);
  const name = isolate(member.email);
  const act = () =>
    // The row may be gone before all of the change has settled, and callbacks would go with it.
    remove
      .mutateAsync(member.userId)
      .then(() => tellDone(`${name} no longer belongs to ${isolate(customer.name)}.`), tellProblem(`${name} was not removed`))
      .finally(() => setAsking(false));
  return (
    <>
      <Button size="xs" w={84} variant="subtle" color="red" c="red" aria-label={`Remove ${member.email}`} onClick={() => setAsking(true)}>Remove</Button>
      {isAsking && (
        <ConfirmModal
          title={`Remove ${name}?`} action="Remove" isPending={remove.isPending} onConfirm={() => void act()} onClose={() => setAsking(false)}
          meaning={`They lose all access to the containers of ${isolate(customer.name)} at once, open consoles and tokens included. Their account stays, and they can be invited again.`}
        />
      )}
    </>
  );
}

function Leave({ customer }: { customer: Customer }) {
  const leave = useLeave(customer.id);
  const navigate = useNavigate();
  const [isAsking, setAsking] = useState(false);
  const name = isolate(customer.name);
  const act = () =>
    // The page may be gone before all of it has settled, since nothing of this customer is theirs any more, and callbacks would go with it.
    leave.mutateAsync().then(
      () => {
        tellDone(`You no longer belong to ${name}.`);
        void navigate("/customers");
      },
      (error: unknown) => {
        tellProblem(`You still belong to ${name}`)(error);
        setAsking(false);
      },
    );
  return (
    <>
      <Button size="xs" w={84} variant="subtle" color="red" c="red" onClick={() => setAsking(true)}>Leave</Button>
      {isAsking && (
        <ConfirmModal
          title={`Leave ${name}?`} action="Leave" isPending={leave.isPending} onConfirm={() => void act()} onClose={() => setAsking(false)}
          meaning="You lose all access to its containers at once. Only an owner can bring you back, by another invitation."
        />
      )}
    </>
  );
}
