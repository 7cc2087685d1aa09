"""Where pixels change: operations on the Y, U and V planes, chained by `enhancer`, chosen by `presets`."""
