#!/usr/bin/env bash
# langchain 1.5.2: SummarizationMiddleware shows the summarising model a signed URL that no longer works.
#
# The middleware writes the conversation as XML into the summariser's prompt and escapes its text. Each "&" of a URL
# becomes "&amp;". A model that copies the address faithfully therefore puts a broken one into the summary, which
# replaces the original messages. The second parameter, often the signature, is then called "amp;Signature".
#
# Seen:
#   sent:    https://files.example.com/cat.mp4?Expires=1&Signature=abc
#   shown:   https://files.example.com/cat.mp4?Expires=1&amp;Signature=abc
#   in the history afterwards: the original no, the escaped one yes
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet langchain==1.5.2

"$work/venv/bin/python" -I - <<'EOF'
import re
import sys

from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult

URL = "https://files.example.com/cat.mp4?Expires=1&Signature=abc"
shown = []


class Summarizer(GenericFakeChatModel):
    """Copies the address that it is shown, letter by letter."""

    def _generate(self, messages, *args, **kwargs):
        shown.extend(re.findall(r"https://files\S+?abc", messages[-1].text))
        answer = AIMessage(f"The video is at {shown[-1]}")
        return ChatResult(generations=[ChatGeneration(message=answer)])


agent = create_agent(
    GenericFakeChatModel(messages=iter([AIMessage("Done.")])),
    middleware=[
        SummarizationMiddleware(Summarizer(messages=iter([])), trigger=("messages", 3), keep=("messages", 1))
    ],
)
conversation = [HumanMessage(f"Keep this video: {URL}"), AIMessage("I keep it."), HumanMessage("Where is it?")]
history = "\n".join(message.text for message in agent.invoke({"messages": conversation})["messages"])
escaped = URL.replace("&", "&amp;")
print("sent:   ", URL)
print("shown:  ", *shown)
answers = ["yes" if url in history else "no" for url in (URL, escaped)]
print("in the history afterwards: the original {}, the escaped one {}".format(*answers))
if shown != [escaped] or answers != ["no", "yes"]:
    sys.exit("The behaviour changed: the summariser should be shown the escaped address only.")
EOF
