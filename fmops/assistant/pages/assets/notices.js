// What the guardrails and the policies decided, in sentences for people. Engineers see the decisions themselves.

const FOUND = {
  hate: "hateful language", insult: "insults", harassment: "harassment", toxicity: "hurtful language", profanity: "rude language",
  sexual: "sexual content", violence: "violence", graphic: "graphic violence", misconduct: "wrongdoing",
  jailbreak: "an attempt to get around the assistant's rules", prompt_injection: "an attempt to change the assistant's instructions",
  prompt_leakage: "an attempt to read the assistant's instructions", unsafe_prompt: "an unsafe request",
  password: "a password", aws_access_key: "an access key", aws_secret_key: "a secret key", api_key: "an access key", private_key: "a private key",
  denied_topic: "a subject that is not for this assistant", denied_word: "a word that is not allowed",
  custom_pattern: "something that is not allowed here", blocked: "something that is not allowed here",
};
const UNANSWERED = { detector_unavailable: "A safety check did not answer in time", language_not_known: "The safety checks do not know this language", text_too_long: "The text was too long for the safety checks" };

const found = (reason) => FOUND[reason] ?? `personal details (${reason.replaceAll("_", " ")})`;

/** Return the sentences about a finished answer, each with whether it is bad news. */
export function notices(event) {
  const said = [];
  const add = (sentence, bad = false) => { if (!said.some((each) => each.sentence === sentence)) said.push({ sentence, bad }); };
  for (const { direction, action, reason } of event.guardrails) {
    if (action === "flag" || action === "allow") continue;
    const blocks = action === "block";
    if (reason in UNANSWERED) {
      if (blocks) add(`${UNANSWERED[reason]}, so ${direction === "input" ? "your message was not passed on" : "part of the answer is held back"}. ${reason === "detector_unavailable" ? "Try again in a moment." : "Write it differently, or shorter."}`, true);
    } else if (direction === "input") {
      add(blocks ? `Your message was not passed on, because it seems to contain ${found(reason)}.` : "Personal details in your message were hidden before the model read it.", blocks);
    } else if (direction === "output") {
      add(blocks ? `The answer was held back, because it contained ${found(reason)}.` : "Personal details in the answer were hidden.", blocks);
    } else if (direction === "retrieved") {
      add(blocks ? `A document was left out, because it contains ${found(reason)}.` : "Personal details in a document were hidden.", blocks);
    } else if (direction === "tool_results") {
      add(blocks ? `Part of the records could not be used, because it contains ${found(reason)}.` : "Personal details in the records were hidden.", blocks);
    } else if (blocks) {
      add(`A step was stopped before it ran, because it contained ${found(reason)}.`, true);
    }
  }
  for (const { name, status } of event.tools) {
    const step = name.replaceAll("_", " ");
    if (status === "denied") add(`You are not permitted this: ${step}. Nothing was changed.`, true);
    else if (status === "error") add(`This step failed: ${step}. Try again, or ask for something else.`, true);
  }
  if (event.budget_exceeded) add("The answer ended early, because the budget is used up.", true);
  else if (event.choices[0].finish_reason === "length") add("The answer was cut, because it reached its longest length. Ask for the rest.");
  return said;
}
