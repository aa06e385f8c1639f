/** The pages and what stands around them. */
import { Center, Loader, MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClientProvider } from "@tanstack/react-query";
import { Suspense } from "react";
import { createBrowserRouter, Outlet, RouterProvider } from "react-router";
import { makeQueryClient } from "./api/query";
import { BrokenPage } from "./layout/BrokenPage";
import { lazily } from "./layout/lazily";
import { NotFoundPage } from "./layout/NotFoundPage";
import { theme } from "./layout/theme";
import { LoginPage } from "./session/LoginPage";
import { followOtherTabs } from "./session/otherTabs";
import { RequireSession } from "./session/RequireSession";

const AccountPage = lazily("AccountPage", () => import("./account/AccountPage"));
const CatalogPage = lazily("CatalogPage", () => import("./catalog/CatalogPage"));
const InvitationPage = lazily("InvitationPage", () => import("./codes/InvitationPage"));
const PasswordResetPage = lazily("PasswordResetPage", () => import("./codes/PasswordResetPage"));
const CreatePage = lazily("CreatePage", () => import("./containers/CreatePage"));
const DetailPage = lazily("DetailPage", () => import("./containers/DetailPage"));
const ListPage = lazily("ListPage", () => import("./containers/ListPage"));
const CustomerPage = lazily("CustomerPage", () => import("./customers/CustomerPage"));
const CustomersPage = lazily("CustomersPage", () => import("./customers/CustomersPage"));
const PlatformPage = lazily("PlatformPage", () => import("./platform/PlatformPage"));
const Shell = lazily("Shell", () => import("./layout/Shell"));

const queries = makeQueryClient();
followOtherTabs(queries);

const router = createBrowserRouter([
  {
    element: <Suspense fallback={<Center h="100vh"><Loader role="status" aria-label="Loading" /></Center>}><Outlet /></Suspense>,
    errorElement: <BrokenPage />,
    children: [
      { path: "/login", element: <LoginPage /> },
      { path: "/invitation", element: <InvitationPage /> },
      { path: "/password-reset", element: <PasswordResetPage /> },
      {
        element: <RequireSession><Shell /></RequireSession>,
        children: [
          {
            errorElement: <BrokenPage />,
            children: [
              { index: true, element: <ListPage /> },
              { path: "/containers/new", element: <CreatePage /> },
              { path: "/containers/:vmid/:tab?/:item?", element: <DetailPage /> },
              { path: "/catalog", element: <CatalogPage /> },
              { path: "/customers", element: <CustomersPage /> },
              { path: "/customers/:customer/:tab?", element: <CustomerPage /> },
              { path: "/platform/:tab?", element: <PlatformPage /> },
              { path: "/account/:tab?", element: <AccountPage /> },
              { path: "*", element: <NotFoundPage /> },
            ],
          },
        ],
      },
    ],
  },
]);

export function App() {
  return (
    <MantineProvider theme={theme} defaultColorScheme="auto">
      <QueryClientProvider client={queries}>
        <Notifications position="bottom-right" />
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  );
}
