/** Changes one's password, which ends every other session. */
import { Button, Group, PasswordInput, Stack } from "@mantine/core";
import { type SyntheticEvent, useState } from "react";
import { asApiError, splitByField } from "../api/problem";
import { forgetOutcome } from "../api/query";
import { Problem } from "../layout/Problem";
import { tellDone } from "../layout/tell";
import { complainAboutPassword, LEAST_CHARS } from "./password";
import { useChangePassword } from "./queries";

export function PasswordForm({ email }: { email: string }) {
  const change = useChangePassword();
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const [complaints, setComplaints] = useState<{ current?: string | null; next?: string | null }>({});
  const refused = change.error ? splitByField(asApiError(change.error), ["currentPassword", "newPassword"]) : null;
  const touch = (act: () => void) => {
    forgetOutcome(change);
    setComplaints({});
    act();
  };
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    const found = { current: current === "" ? "Enter the password that you sign in with now." : null, next: complainAboutPassword(next) };
    setComplaints(found);
    if (found.current !== null || found.next !== null || change.isPending) return;
    change.mutate({ currentPassword: current, newPassword: next }, {
      onSuccess: () => {
        setCurrent("");
        setNext("");
        tellDone("Your password is changed, and your other sessions have ended.");
      },
    });
  };
  return (
    <form onSubmit={submit} noValidate aria-label="Change the password">
      <Stack gap="sm" maw={400}>
        {change.error && refused?.rest && <Problem error={change.error} title="The password stays as it is" />}
        {/* For password managers, which keep a password by its name. */}
        <input type="hidden" name="email" autoComplete="username" value={email} readOnly />
        <PasswordInput label="Current password" autoComplete="current-password" value={current} error={complaints.current ?? refused?.fields["currentPassword"]} onChange={(event) => { const { value } = event.currentTarget; touch(() => setCurrent(value)); }} />
        <PasswordInput label="New password" description={`At least ${LEAST_CHARS} characters.`} autoComplete="new-password" value={next} error={complaints.next ?? refused?.fields["newPassword"]} onChange={(event) => { const { value } = event.currentTarget; touch(() => setNext(value)); }} />
        <Group><Button type="submit" loading={change.isPending}>Change the password</Button></Group>
      </Stack>
    </form>
  );
}
