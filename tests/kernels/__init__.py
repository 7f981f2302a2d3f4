"""Two hardware nodes with a kernel each, as guests of QEMU: see ``guests``. `make kernels`, not `make test`."""
