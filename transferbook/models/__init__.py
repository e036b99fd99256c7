"""Networks: pretrained backbones, their encoders, and what is put into them."""
