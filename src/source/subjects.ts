import { SpillwayError } from "../core/errors.ts";
import { subjectFault } from "../core/subject.ts";

/** Refuses subjects that no source could subscribe to, and a source that would carry nothing. */
export function checkSubjects(subjects: readonly string[]): void {
  if (subjects.length === 0) {
    throw new SpillwayError(
      "invalid",
      "SUBJECT_MISSING",
      "Cannot create a source without subjects",
    );
  }
  for (const subject of subjects) {
    const fault = subjectFault(subject, true);
    if (fault === undefined) continue;
    throw new SpillwayError(
      "invalid",
      "SUBJECT_INVALID",
      `Cannot subscribe to ${JSON.stringify(subject)} as a subject ${fault}`,
    );
  }
}
