"""One native call for as many steps of a plan as have native commands.

In: the steps of a plan in one frame, whose buffers lie at fixed addresses. Out: items that the frame runs in their stead. `native` says what a
kernel offers, `views` follows steps that only look at memory, `linker` joins neighbouring steps, `segment` runs what was joined.
"""
