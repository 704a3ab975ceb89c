"""What a run leaves for people: the HTML report, the PDF and notifications."""
