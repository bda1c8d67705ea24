"""The dead man's switch: an outside monitor hears from Jobwright while it works, and a fixed address gets mail if it is stuck."""
