/** One customer: its people, how much it has, what was done for it, and its name. */
import { Badge, Group, Skeleton, Stack, Tabs, Text, Title } from "@mantine/core";
import { Suspense } from "react";
import { useNavigate, useParams } from "react-router";
import { asApiError } from "../api/problem";
import type { Customer } from "../api/types";
import classes from "../containers/containers.module.css";
import { BackTo } from "../layout/BackTo";
import { Name } from "../layout/Name";
import { lazily } from "../layout/lazily";
import { NotFoundPage } from "../layout/NotFoundPage";
import { Problem } from "../layout/Problem";
import { TimeAgo } from "../layout/TimeAgo";
import { usePageTitle } from "../layout/title";
import { useMe } from "../session/session";
import { useCustomer } from "./queries";
import { ROLE_WORDS } from "./roles";
import { SuspendedBanner } from "./SuspendedBanner";

const MembersTab = lazily("MembersTab", () => import("./MembersTab"));
const QuotaTab = lazily("QuotaTab", () => import("./QuotaTab"));
const CustomerAuditLog = lazily("CustomerAuditLog", () => import("../auditlog/CustomerAuditLog"));
const SettingsTab = lazily("SettingsTab", () => import("./SettingsTab"));

const TABS = {
  members: { label: "Members", show: (customer: Customer) => <MembersTab customer={customer} /> },
  quota: { label: "Quota", show: (customer: Customer) => <QuotaTab customer={customer} /> },
  "audit-log": { label: "Audit log", show: (customer: Customer) => <CustomerAuditLog customer={customer} /> },
  settings: { label: "Settings", show: (customer: Customer) => <SettingsTab customer={customer} /> },
} as const;

type Tab = keyof typeof TABS;

export function CustomerPage() {
  const { customer = "", tab = "members" } = useParams();
  if (!/^[0-9a-f-]{36}$/.test(customer) || !(tab in TABS)) return <NotFoundPage />;
  return <One key={customer} id={customer} tab={tab as Tab} />;
}

function One({ id, tab }: { id: string; tab: Tab }) {
  const query = useCustomer(id);
  const { data: me } = useMe();
  const navigate = useNavigate();
  const customer = query.data;
  usePageTitle(customer?.name ?? "Customer");
  if (query.error && asApiError(query.error).status === 404) return <NotFoundPage what="customer" />;
  if (!customer) return query.error ? <Problem error={query.error} title="This customer cannot be shown" onRetry={() => void query.refetch()} /> : <CustomerSkeleton />;
  const own = me?.customers ?? [];
  const isOwn = own.some((entry) => entry.id === id);
  return (
    <Stack gap="md">
      <div>
        {own.length > 1 && isOwn && <BackTo to="/customers" label="Customers" />}
        {!isOwn && <BackTo to="/platform/customers" label="Platform" />}
        <Group gap="xs">
          <Title order={1} style={{ overflowWrap: "anywhere" }}><Name text={customer.name} /></Title>
          {customer.suspended && <Badge color="orange" variant="light">Suspended</Badge>}
        </Group>
        <Text size="sm" c="dimmed" component="div" mt={2}>
          {customer.role ? `Your role: ${ROLE_WORDS[customer.role].label.toLowerCase()}` : "You see it as an operator"} · created <TimeAgo time={customer.createdAt} />
        </Text>
      </div>
      <SuspendedBanner customerId={id} isSuspended={customer.suspended} />
      <Tabs value={tab} keepMounted={false} onChange={(next) => void navigate(`/customers/${id}/${next ?? "members"}`, { replace: true })}>
        <Tabs.List className={classes["tabs"] ?? ""} aria-label="About this customer">
          {Object.entries(TABS).map(([key, { label }]) => <Tabs.Tab key={key} value={key} {...(key === "settings" ? { ml: "auto" } : {})}>{label}</Tabs.Tab>)}
        </Tabs.List>
        <Tabs.Panel value={tab} pt="md"><Suspense fallback={<Skeleton h={320} role="status" aria-label="Loading" />}>{TABS[tab].show(customer)}</Suspense></Tabs.Panel>
      </Tabs>
      {query.error && <Problem error={query.error} title="What is shown may be old" onRetry={() => void query.refetch()} />}
    </Stack>
  );
}

function CustomerSkeleton() {
  return (
    <Stack gap="md" role="status" aria-label="Loading the customer">
      <Skeleton h={20} w={110} />
      <Skeleton h={36} maw={320} />
      <Skeleton h={36} />
      <Skeleton h={240} />
    </Stack>
  );
}
