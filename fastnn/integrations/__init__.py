"""fastnn under the conventions of other libraries; each module needs the library that it is named after."""
