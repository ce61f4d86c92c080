"""Long words without blanks: a narrow page breaks them at their joints, and what they say is escaped."""

from __future__ import annotations

from newsletter.web.console.shell import breakable


def test_addresses_and_settings_break_at_their_joints_and_are_escaped() -> None:
    assert breakable("Quay <letter@quay.example>") == "Quay &lt;letter@<wbr>quay.example&gt;"
    assert breakable("NEWSLETTER_CONTROLLER") == "NEWSLETTER_<wbr>CONTROLLER"
    assert breakable("<b>&\"'") == "&lt;b&gt;&amp;&#34;&#39;"
