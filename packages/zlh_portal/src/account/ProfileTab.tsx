/** Where one belongs, and the password. */
import { Badge, Group, Stack, Text } from "@mantine/core";
import { Link } from "react-router";
import type { Me } from "../api/types";
import { ROLE_WORDS } from "../customers/roles";
import { Name } from "../layout/Name";
import rows from "../layout/rows.module.css";
import { Section } from "../layout/Section";
import { TimeAgo } from "../layout/TimeAgo";
import { PasswordForm } from "./PasswordForm";

export function ProfileTab({ me }: { me: Me }) {
  return (
    <Stack gap="md" maw={720}>
      <Section title="Customers" about="Who owns the containers that you see.">
        {me.customers.length === 0 ? (
          <Text size="sm" c="dimmed">You belong to no customer yet, so you cannot create containers. Ask an owner to invite you.</Text>
        ) : (
          <ul className={rows["list"]} aria-label="Your customers" style={{ marginInline: -16, marginBottom: -8 }}>
            {me.customers.map(({ id, name, role, suspended }) => (
              <li key={id} className={`${rows["row"] ?? ""} ${rows["linked"] ?? ""}`}>
                <div className={rows["grow"]}>
                  <Link to={`/customers/${id}`} className={rows["name"] ?? ""}><Name text={name} /></Link>
                  <Text size="xs" c="dimmed">{ROLE_WORDS[role].meaning}</Text>
                </div>
                <Group gap={6}>
                  {suspended && <Badge color="orange" variant="light">Suspended</Badge>}
                  <Badge color="gray" variant="light">{ROLE_WORDS[role].label}</Badge>
                </Group>
              </li>
            ))}
          </ul>
        )}
      </Section>
      <Section title="Password" about="Every other session of yours ends when it is changed; API tokens stay.">
        {me.user.passwordChangedAt !== null && (
          <Text size="sm" c="dimmed" data-testid="password-age">Last changed <TimeAgo time={me.user.passwordChangedAt} />.</Text>
        )}
        <PasswordForm email={me.user.email} />
      </Section>
    </Stack>
  );
}
