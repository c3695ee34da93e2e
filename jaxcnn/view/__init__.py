"""For people: the command line, figures, the report. Only this room prints and draws."""
