import { z } from "zod";
import { subjectFault, withoutCovered } from "../core/subject.ts";

/** Parameters of the wire protocol that this version does not serve, and so refuses. */
const NOT_BUILT = ["after", "from", "policy", "max_rate", "session", "durable"] as const;

/** A client that wants more than this many subjects wants all of them. */
const MAX_SUBJECTS = 64;

const subjectList = z
  .string()
  .transform((list) => list.split(",").map((subject) => subject.trim()))
  .superRefine((subjects, context) => {
    if (subjects.length > MAX_SUBJECTS) {
      context.addIssue({ code: "custom", message: `"subjects" may name ${MAX_SUBJECTS} at most` });
    }
    for (const subject of subjects) {
      const fault = subjectFault(subject, true);
      if (fault !== undefined) {
        context.addIssue({ code: "custom", message: `subject "${subject}" ${fault}` });
      }
    }
  });

/**
 * What a plain client says in the query. Parameters that ask for a promise which is not kept yet
 * are refused, never ignored; unknown ones are left to whoever put them there.
 */
export const streamQuery = z.looseObject({
  /** Only these, parted by commas; those that another one covers are left out. */
  subjects: subjectList.transform(withoutCovered).optional(),
  ...Object.fromEntries(
    NOT_BUILT.map((name) => [
      name,
      z.undefined(`"${name}" is not supported by this version`).optional(),
    ]),
  ),
});
