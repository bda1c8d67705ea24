// What a TypeScript program reads from the generated types. It is compiled, not run.
import type { components, operations, paths } from "./jobwright";

type Execution = components["schemas"]["ExecutionOut"];
type Problem = components["schemas"]["ProblemOut"];
type Run = operations["runJob"];
type Create = paths["/api/admin/scheduler-jobs"]["post"]["requestBody"]["content"]["application/json"];

const job: Create = { name: "nightly", template_type: "webhook_trigger", schedule: { type: "cron", expression: "0 2 * * *" } };
const wait: Run["parameters"]["query"] = { wait: 30 };

export function describe(execution: Execution): string {
  const failed = execution.attempts?.filter((attempt) => attempt.status === "failed") ?? [];
  const cpu: number | undefined = execution.attempts?.[0]?.usage?.cpu_seconds;
  return `${execution.id}: ${execution.status} ${execution.result?.message ?? ""} ${failed.length} ${cpu ?? 0} ${job.name} ${wait?.wait}`;
}

export function explain(problem: Problem): string {
  const places = problem.errors?.map((wrong) => wrong.pointer ?? wrong.parameter);
  return `${problem.type}: ${problem.detail} ${places?.join(", ")}`;
}

// @ts-expect-error - an execution has no such member that is a number
export const wrong = (execution: Execution): number => execution.status;
