"""One click command per entry point of MLproject: it parses, calls one job of `avfusion.jobs`, and exits."""
