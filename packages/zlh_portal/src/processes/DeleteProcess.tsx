import { ConfirmModal } from "../layout/ConfirmModal";
import { useDeleteProcess } from "./queries";
import { tellProblem } from "../layout/tell";

export function DeleteProcess({ vmid, name, onClose }: { vmid: number; name: string; onClose: () => void }) {
  const remove = useDeleteProcess(vmid, name);
  const act = () =>
    remove.mutate(undefined, {
      onError: tellProblem(`${name} was not deleted`),
      onSettled: onClose,
    });
  return (
    <ConfirmModal
      title={`Delete ${name}?`} action="Delete" isPending={remove.isPending} onConfirm={act} onClose={onClose}
      meaning="It is stopped in order, and its definition and its kept output are removed. Its files stay."
    />
  );
}
